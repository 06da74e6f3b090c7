"""What limits a network that learned in integers: figures per layer and signal, and advice that follows from them."""
