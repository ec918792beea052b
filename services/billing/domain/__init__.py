"""Rules of metering and billing, pure: no IO, no clock. What each process uses:

meter worker   `state_model_file.load_state_model`, `line_meter.LineMeter`, `usage.usage_event`
recorder       `usage.parse_usage`, `ledger.ledger_row`
billing api    `tariff_file.load_tariff`, `ledger.effective`, `rating.rate`, `explain.document` and `evaluate_tree`,
               `allocation.allocate`, `invoice.draft_invoice`, `finalise`, `verify_invoice`
"""
