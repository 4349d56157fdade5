"""What the scan and the models cost, and the least they could cost, on the machine at hand."""
