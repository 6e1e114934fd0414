"""What the marketplace's brands make: sectors with their forms, goods, flavours and the words on labels."""

from __future__ import annotations

SECTORS: dict[str, tuple[str, ...]] = {
    "pantry": ("carton", "pouch", "jar", "tin", "sauce"),
    "drinks": ("can", "gable", "sauce", "pouch", "mug"),
    "beauty": ("bottle", "pot", "tube", "flacon", "carton"),
    "perfume": ("flacon", "candle", "pot", "carton"),
    "fashion": ("handbag", "trainer", "watch", "shoebox"),
    "sport": ("trainer", "shoebox", "can", "pouch"),
    "home": ("mug", "candle", "bottle", "tin"),
}
# forms for an imitation that changes the form but not the style; other forms change to their other model
PEERS: dict[str, tuple[str, ...]] = {
    "carton": ("pouch", "tin"),
    "pouch": ("carton", "tin"),
    "jar": ("pot", "tin"),
    "tin": ("carton", "pouch"),
    "sauce": ("can", "gable"),
    "can": ("sauce", "gable"),
    "gable": ("can", "sauce"),
    "bottle": ("tube", "pot"),
    "pot": ("tube", "jar"),
    "tube": ("bottle", "carton"),
    "flacon": ("bottle", "candle"),
    "candle": ("tin", "pot"),
}
GOODS: dict[str, tuple[str, ...]] = {
    "carton": ("Breakfast Tea", "Oat Crackers", "Butter Biscuits", "Crisp Muesli", "Cocoa Powder", "Corn Flakes"),
    "pouch": ("Dark Roast", "Sea Salt Crisps", "Trail Mix", "Crunchy Granola", "Dried Mango", "Protein Powder"),
    "jar": ("Apricot Jam", "Wild Honey", "Hazelnut Spread", "Plum Butter", "Tomato Sugo", "Lemon Curd"),
    "tin": ("Loose Leaf Tea", "Ground Coffee", "Drinking Cocoa", "Baking Powder", "Shoe Wax", "Almond Cookies"),
    "sauce": ("Olive Oil", "House Syrup", "Chilli Sauce", "Ginger Beer", "Apple Vinegar", "Elderflower Cordial"),
    "can": ("Sparkling Lemonade", "Cold Brew", "Root Tonic", "Iced Tea", "Energy Drink", "Pale Ale"),
    "gable": ("Oat Drink", "Orange Juice", "Almond Milk", "Apple Juice", "Buttermilk", "Coconut Water"),
    "mug": ("Stoneware Mug", "Camp Mug", "Coffee Mug"),
    "bottle": ("Shampoo", "Body Wash", "Conditioner", "Body Lotion", "Hand Soap", "Fabric Softener"),
    "pot": ("Night Cream", "Body Butter", "Hair Wax", "Clay Mask", "Day Cream", "Lip Balm"),
    "tube": ("Hand Cream", "Sun Lotion", "Face Scrub", "Toothpaste", "Foot Balm", "Hair Gel"),
    "flacon": ("Eau de Parfum", "Eau de Toilette", "Cologne", "Parfum Intense"),
    "candle": ("Scented Candle", "Soy Candle", "Winter Candle"),
    "handbag": ("Tote Bag", "City Bag", "Shoulder Bag"),
    "trainer": ("Runner", "Court Shoe", "Trail Runner"),
    "watch": ("Field Watch", "Dress Watch", "Diver"),
    "shoebox": ("Running Shoes", "Leather Boots", "Canvas Shoes"),
    "beauty carton": ("Soap Bar", "Face Serum", "Sheet Masks", "Bath Pearls"),
    "perfume carton": ("Eau de Parfum", "Room Spray", "Soap Bar"),
    "drinks pouch": ("Dark Roast", "House Blend", "Matcha Powder", "Drinking Cocoa"),
    "sport pouch": ("Protein Powder", "Energy Chews", "Recovery Mix"),
    "sport can": ("Energy Drink", "Isotonic Water", "Power Cola"),
    "home bottle": ("Hand Soap", "Fabric Softener", "Dish Wash", "Floor Care"),
    "home tin": ("Loose Leaf Tea", "Furniture Wax", "Ground Coffee"),
    "beauty can": ("Hair Mousse",),
}
_TASTES = ("Original", "Lemon", "Raspberry", "Vanilla", "Ginger", "Peach", "Mint", "Cherry", "Sea Salt", "Classic")
_SCENTS = ("Cedar", "Rose", "Bergamot", "Sea Mist", "Lavender", "Fig", "White Tea", "Amber", "Neroli", "Sandalwood")
FLAVOURS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("carton", "pouch", "jar", "tin", "sauce", "can", "gable"), _TASTES),
    **dict.fromkeys(("bottle", "pot", "tube", "flacon", "candle"), _SCENTS),
    **dict.fromkeys(("handbag", "trainer", "watch", "shoebox", "mug"), ("One", "Classic", "Nord", "II", "Sport")),
}
AMOUNTS: dict[str, tuple[str, ...]] = {
    "carton": ("250 g", "375 g", "125 g"),
    "pouch": ("200 g", "500 g", "150 g"),
    "jar": ("340 g", "450 g"),
    "tin": ("125 g", "250 g"),
    "sauce": ("500 ml", "0.75 l"),
    "can": ("330 ml", "0.33 l"),
    "gable": ("1 litre", "1.0 l"),
    "bottle": ("300 ml", "400 ml", "13.5 fl oz"),
    "pot": ("50 ml", "1.7 fl oz", "200 ml"),
    "tube": ("75 ml", "100 ml"),
    "flacon": ("50 ml", "100 ml", "3.4 fl oz"),
    "candle": ("220 g", "40 h"),
    "shoebox": ("EU 42", "EU 39", "UK 8"),
}
TAGLINES: dict[str, tuple[str, ...]] = {
    "pantry": ("slowly made", "since 1968", "from the valley", "small batch", "with whole grain", "family recipe"),
    "drinks": ("naturally bright", "no added sugar", "best served cold", "from real fruit", "brewed twice"),
    "beauty": ("for every skin", "dermatologically tested", "with sea minerals", "gentle care", "without parabens"),
    "perfume": ("maison de parfums", "No. 7", "vaporisateur", "composed by hand", "atelier"),
    "fashion": ("atelier", "made to last", "est. 1974", "studio"),
    "sport": ("made to move", "go further", "built for distance", "every day"),
    "home": ("quiet things", "for long evenings", "everyday goods", "handmade"),
}
SMALL_PRINT = (
    "Ingredients: aqua, glycerin, oat extract, sea salt, citric acid, natural aroma. May contain traces of nuts. "
    "Store in a cool and dry place. Once opened use within four weeks. Shake well before use. Keep out of reach of "
    "children. Best before: see base. Made for the makers named above. Recycle where facilities exist. "
)
