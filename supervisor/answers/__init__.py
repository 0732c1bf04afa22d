"""How a child's questions are answered: a module per subject, a function per message. The table is `handlers`."""
