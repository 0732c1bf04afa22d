"""The messages, a module per subject. Which of them make a conversation is in `protocol.vocabulary`."""
