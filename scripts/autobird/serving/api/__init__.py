"""The routes of the web app, one blueprint for each subject."""
