"""Black-box and evolutionary optimization through one ask/tell interface."""
