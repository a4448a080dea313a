"""The checks of one query: each module has one subject, each check yields complaints."""
