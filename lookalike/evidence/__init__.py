"""Why a listing was found: the pair picture, the explanation, the statement, the bundle."""
