"""The watchroom: scrape configuration, rules and alerts, generated from the declared families."""
