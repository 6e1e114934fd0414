"""The rules for rights and sellers, as DuckDB tables and one query."""

from __future__ import annotations

TABLES = """
CREATE TABLE rights (brand VARCHAR, product_id VARCHAR, kind VARCHAR, number VARCHAR, territory VARCHAR, owner VARCHAR,
                     first DATE, last DATE);
CREATE TABLE sellers (brand VARCHAR, seller_id VARCHAR, territory VARCHAR, first DATE, last DATE);
CREATE TABLE contested (kind VARCHAR, number VARCHAR, territory VARCHAR, owner VARCHAR, first DATE, last DATE);
CREATE TABLE covers (place VARCHAR, code VARCHAR, nearness TINYINT, first DATE, last DATE);
CREATE TABLE places (name VARCHAR, place VARCHAR);
CREATE MACRO lowest(these, those, many) AS
    list_sort(list_distinct(list_concat(coalesce(these, []), coalesce(those, []))))[:many];
CREATE MACRO as_json(structs) AS list_transform(coalesce(structs, []), lambda each: to_json(each));
"""
"""What a `Rights` keeps. An empty product_id means the whole brand. `contested` holds the rights whose number several
owners claim. `covers` has, for each place ('' is an unknown one), the codes of the rights that are in force there."""

CONTEST = """
INSERT INTO contested SELECT DISTINCT kind, number, territory, owner, first, last FROM rights
SEMI JOIN (SELECT kind, number, territory FROM rights WHERE number <> '' AND owner <> '' GROUP BY ALL
           HAVING count(DISTINCT owner) > 1) USING (kind, number, territory)
WHERE owner <> '';
"""

FOUND = "CREATE TEMP TABLE matches AS SELECT * REPLACE (coalesce(kind, 'lookalike') AS kind) FROM found"
"""The matches, given as the view `found`."""

MATCHES = """
CREATE TEMP TABLE matches AS
SELECT id, rank, image, verdict, brand, product_id, coalesce(kind, 'lookalike') AS kind, territory, seller_id
FROM (
    SELECT id, territory, seller_id, rank, entry.brand AS brand, entry.product_id AS product_id, entry.kind AS kind,
           entry.image AS image, entry.verdict AS verdict
    FROM (SELECT id, territory, seller_id, generate_subscripts(entries, 1) AS rank, unnest(entries) AS entry
          FROM entered WHERE entries[1].verdict IS NOT NULL)
    UNION ALL
    SELECT id, territory, seller_id, 1, brand, product_id, kind, image, similarity_verdict
    FROM entered WHERE entries[1].verdict IS NULL
)
WHERE verdict IN ('flagged', 'review')
"""
"""The flagged and reviewed matches in `entered`: a finding's candidates, or itself if they have no verdicts."""

ENTERED = """
CREATE TEMP TABLE entered AS
SELECT * EXCLUDE (candidates), from_json(
    CASE WHEN similarity_verdict NOT IN ('flagged', 'review') THEN NULL
         WHEN json_type(candidates) <> 'ARRAY' THEN error('they are not a list') ELSE candidates END,
    '[{"brand": "VARCHAR", "product_id": "VARCHAR", "kind": "VARCHAR", "image": "VARCHAR", "verdict": "VARCHAR"}]'
) AS entries
FROM findings
"""
"""The rows given as the view `findings`, with their candidates parsed; only flagged and reviewed rows have any."""

QUERY = """
WITH placed AS (
    SELECT m.id, m.rank, coalesce(m.image, '') AS image, m.verdict, m.brand, coalesce(m.product_id, '') AS product_id,
           m.kind, coalesce(m.seller_id, '') AS seller_id, m.territory, coalesce(p.place, '') AS place
    FROM matches m LEFT JOIN places p ON p.name = upper(trim(m.territory))
),
keys AS (SELECT DISTINCT brand, product_id, kind, place FROM placed),
wanted AS (FROM keys UNION SELECT brand, '', kind, place FROM keys),
disputed AS (
    SELECT kind, number, territory, list_sort(list(DISTINCT owner)) AS owners
    FROM contested WHERE $day BETWEEN first AND last GROUP BY ALL HAVING count(DISTINCT owner) > 1
),
covering AS (
    SELECT w.brand, w.product_id, w.kind, w.place, r.kind AS right_kind, r.owner, r.first, r.last, c.position,
           c.position IS NOT NULL AND $day BETWEEN r.first AND r.last AS standing,
           nullif(r.number, '') AS number, r.territory, d.owners
    FROM wanted w
    JOIN covers v ON v.place = w.place AND $day BETWEEN v.first AND v.last
    JOIN rights r ON r.brand = w.brand AND r.product_id = w.product_id AND r.territory = v.code
    LEFT JOIN claims c ON c.kind = w.kind AND c.right_kind = r.kind
    LEFT JOIN disputed d ON d.kind = r.kind AND d.number = r.number AND d.territory = r.territory
),
designers AS (
    SELECT brand, product_id, kind, place, list_sort(list(DISTINCT owner)) AS owners
    FROM covering WHERE standing AND right_kind = 'design' AND product_id <> '' AND owner <> ''
    GROUP BY ALL HAVING count(DISTINCT owner) > 1
),
found AS (
    SELECT brand, product_id, kind, place,
           count(DISTINCT (right_kind, number, territory)) FILTER (standing) AS total,
           count(*) FILTER (standing AND owners IS NULL AND (right_kind <> 'design' OR product_id = ''))
               AS sound,
           count(*) FILTER (standing AND owners IS NULL AND right_kind = 'design' AND product_id <> '')
               AS designs,
           min({'position': position, 'kind': right_kind, 'number': number, 'territory': territory}, 8)
               FILTER (standing) AS standing,
           min({'ground': 'ended', 'kind': right_kind, 'number': number, 'territory': territory, 'day': last}, 4)
               FILTER (position IS NOT NULL AND last < $day) AS ended,
           min({'ground': 'begins', 'kind': right_kind, 'number': number, 'territory': territory, 'day': first}, 4)
               FILTER (position IS NOT NULL AND first > $day) AS later,
           list(DISTINCT right_kind) FILTER (position IS NULL AND $day BETWEEN first AND last) AS unsuited,
           min({'ground': 'conflict', 'kind': right_kind, 'number': number, 'territory': territory, 'owners': owners},
               4) FILTER (standing AND owners IS NOT NULL) AS disputes
    FROM covering GROUP BY ALL
),
merged AS (
    SELECT k.*, coalesce(w.total, 0) + coalesce(n.total, 0) AS total,
           coalesce(w.sound, 0) + coalesce(n.sound, 0)
               + CASE WHEN d.owners IS NULL THEN coalesce(n.designs, 0) ELSE 0 END AS sound,
           list_transform(lowest(w.standing, n.standing, 8), lambda each: to_json(
               {'ground': 'right', 'kind': each.kind, 'number': each.number, 'territory': each.territory})) AS standing,
           as_json(lowest(w.ended, n.ended, 4)) || as_json(lowest(w.later, n.later, 4)) AS untimely,
           lowest(w.unsuited, n.unsuited, 8) AS unsuited,
           as_json(lowest(w.disputes, n.disputes, 4)) || CASE WHEN d.owners IS NULL THEN []
               ELSE [to_json({'ground': 'conflict', 'kind': 'design', 'product_id': k.product_id,
                              'owners': d.owners})] END AS disputes
    FROM keys k
    LEFT JOIN found w ON w.brand = k.brand AND w.product_id = '' AND w.kind = k.kind AND w.place = k.place
    LEFT JOIN found n ON n.brand = k.brand AND n.product_id = k.product_id AND n.product_id <> '' AND n.kind = k.kind
        AND n.place = k.place
    LEFT JOIN designers d ON d.brand = k.brand AND d.product_id = k.product_id AND d.kind = k.kind
        AND d.place = k.place
),
lacking AS (SELECT DISTINCT brand, product_id, kind FROM merged WHERE total = 0),
spread AS (
    SELECT l.brand, l.product_id, l.kind, c.position, r.kind AS right_kind, list(DISTINCT r.territory) AS territories
    FROM (FROM lacking UNION SELECT brand, '', kind FROM lacking) l
    JOIN claims c ON c.kind = l.kind
    JOIN rights r ON r.brand = l.brand AND r.product_id = l.product_id AND r.kind = c.right_kind
    WHERE $day BETWEEN r.first AND r.last GROUP BY ALL
),
reached AS (
    SELECT l.*, s.position, s.right_kind, s.territories FROM lacking l
    JOIN spread s ON s.brand = l.brand AND s.product_id = l.product_id AND s.kind = l.kind
    UNION ALL
    SELECT l.*, s.position, s.right_kind, s.territories FROM lacking l
    JOIN spread s ON s.brand = l.brand AND s.product_id = '' AND l.product_id <> '' AND s.kind = l.kind
),
elsewhere AS (
    SELECT brand, product_id, kind,
           list(to_json({'ground': 'elsewhere', 'kind': right_kind, 'territories': territories[:12],
                         'further': greatest(len(territories) - 12, 0)}) ORDER BY position) AS places
    FROM (SELECT brand, product_id, kind, position, right_kind,
                 list_sort(list_distinct(flatten(list(territories)))) AS territories FROM reached GROUP BY ALL)
    GROUP BY ALL
),
rules AS (
    SELECT s.brand, s.seller_id, s.place,
           min_by(to_json({'ground': 'seller', 'brand': a.brand, 'seller_id': a.seller_id, 'territory': a.territory,
                           'valid_from': CASE WHEN a.first > DATE '0001-01-01' THEN a.first END,
                           'valid_until': CASE WHEN a.last < DATE '9999-12-31' THEN a.last END}),
                  (v.nearness, DATE '9999-12-31' - a.last, a.first)) AS rule
    FROM (SELECT DISTINCT brand, seller_id, place FROM placed WHERE seller_id <> '') s
    JOIN covers v ON v.place = s.place AND $day BETWEEN v.first AND v.last
    JOIN sellers a ON a.brand = s.brand AND a.seller_id = s.seller_id AND a.territory = v.code
    WHERE $day BETWEEN a.first AND a.last GROUP BY ALL
),
judged AS (
    SELECT p.id, p.rank, p.image, p.brand, p.product_id, r.rule,
           CASE WHEN r.rule IS NOT NULL THEN 'authorised'
                WHEN NOT $protected OR m.sound > 0 THEN p.verdict
                WHEN m.total > 0 THEN 'review'
                WHEN p.place = '' AND (e.places IS NOT NULL OR u.kind IS NOT NULL) THEN
                    CASE WHEN $unknown = 'flagged' THEN p.verdict ELSE $unknown END
                WHEN u.kind IS NOT NULL AND list_contains($unfair, p.place) THEN 'review'
                ELSE 'unprotected' END AS verdict,
           CASE WHEN r.rule IS NOT NULL THEN to_json([r.rule])
                WHEN NOT $protected THEN NULL
                WHEN m.total > 0 THEN to_json(
                    m.standing
                    || CASE WHEN m.total > 8 THEN [to_json({'ground': 'further', 'count': m.total - 8})] ELSE [] END
                    || m.disputes)
                ELSE to_json(
                    CASE WHEN u.kind IS NOT NULL AND list_contains($unfair, p.place)
                         THEN [to_json({'ground': 'unfair_competition', 'territory': p.place})] ELSE [] END
                    || CASE WHEN m.unsuited <> []
                            THEN [to_json({'ground': 'unsuited', 'kinds': m.unsuited, 'match': p.kind})] ELSE [] END
                    || m.untimely
                    || CASE WHEN e.places IS NOT NULL THEN e.places
                            WHEN m.unsuited = [] AND len(m.untimely) = 0
                            THEN [to_json({'ground': 'no_right', 'brand': p.brand, 'match': p.kind})] ELSE [] END
                    || [to_json({'ground': 'listing', 'known': p.place <> '', 'territory': CASE
                            WHEN p.place <> '' THEN p.place
                            ELSE nullif(trim(coalesce(p.territory, '')), '')[:40] END})])
           END::VARCHAR AS rights
    FROM placed p
    LEFT JOIN merged m ON m.brand = p.brand AND m.product_id = p.product_id AND m.kind = p.kind AND m.place = p.place
    LEFT JOIN elsewhere e ON e.brand = p.brand AND e.product_id = p.product_id AND e.kind = p.kind
    LEFT JOIN claims u ON u.kind = p.kind AND u.right_kind = 'unfair_competition'
    LEFT JOIN rules r ON r.brand = p.brand AND r.seller_id = p.seller_id AND r.place = p.place
),
excused AS (SELECT id, image, min(rank) AS rank FROM judged WHERE rule IS NOT NULL GROUP BY ALL)
SELECT id, unnest(arg_min(
    {'rank': rank, 'brand': brand, 'product_id': product_id, 'verdict': verdict, 'rights': rights}, (class, rank)))
FROM (
    SELECT j.*, CASE WHEN e.rank < j.rank THEN 4 WHEN j.verdict = 'flagged' THEN 0 WHEN j.verdict = 'review' THEN 1
                     WHEN j.verdict = 'authorised' THEN 2 ELSE 3 END AS class
    FROM judged j LEFT JOIN excused e ON e.id = j.id AND e.image = j.image
)
GROUP BY id ORDER BY id
"""
"""For each id in `matches`, the match that decides, and its verdict by rights and sellers.

A match is excused if its photo is more similar to something that the seller may sell. Among the others, the strongest
verdict decides, then the policy's order. `rights` is the JSON that `grounds` describes; it names a limited number of
rights, however many there are.
"""
