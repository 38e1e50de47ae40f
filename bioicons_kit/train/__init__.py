"""The training run: `accelerate launch -m bioicons_kit.train PRESET`."""
