"""Who may sell what, where and when: rights, authorised sellers, territories, claims."""
