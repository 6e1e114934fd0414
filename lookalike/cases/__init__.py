"""From findings to cases: sellers, money, history, figures for the public."""
