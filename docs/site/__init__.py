"""The documentation as a site: ``python -m docs.site`` runs the pages, adds generated ones and calls Sphinx."""
