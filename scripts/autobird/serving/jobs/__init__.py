"""Jobs: long recordings that are uploaded, classified in the background, and whose results are fetched later."""
