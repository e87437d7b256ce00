"""The loop that runs a sweep: ask, launch, poll, tell. On demand, without a daemon; it can be killed and started again at any moment."""
