"""Alert rules on figures, the incidents they open and close, and messages to the webhook."""
