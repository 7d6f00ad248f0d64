"""Methods that run the model themselves: those of other libraries, and a person's own functions."""
