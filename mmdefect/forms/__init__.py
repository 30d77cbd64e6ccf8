"""An image in another form: with a defect pasted in, or without its own."""
