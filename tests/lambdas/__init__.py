"""The app as AWS Lambda sees it: the events of its HTTP sources, and its own runtime client in a process of its own."""
