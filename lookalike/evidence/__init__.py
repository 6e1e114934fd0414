"""Why: the pair picture, the explanation, the statement, the bundle."""
