"""Where self-made fakes come from: photographs, rendered scenes, small decoders and their training."""
