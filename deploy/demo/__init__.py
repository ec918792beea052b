"""The demonstration: eleven recorded runs of a chemical pilot plant, from the gateway to the invoice, with trouble on purpose."""
