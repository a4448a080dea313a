"""One request's way: access, the request upstream, the answer back, attempts with other accounts."""
