"""One run, judged: the pure evaluator behind live verdicts, the recomputation at close and what-if (V-10 … V-18).

    plan = RunPlan.build(run="r-1", criteria=criteria_set, streams=pinned_streams, start=run_started.at)
    evaluator = RunEvaluator(plan)
    evaluator.apply(lifecycle_record)            # PhaseStarted, RunHeld, RunRestarted, RunEnded; answers the criteria made stale
    arrival = evaluator.add_frame(frame)         # accepted | duplicate | conflict | ignored, and the criteria made stale
    for transition in evaluator.advance():       # once per batch of records: judges everything that may be released
        ...                                      # transition.state is the row to store; emit one event per transition
    rows = evaluator.states(now=event_time_now)  # every criterion, for the live page: decided / open / waiting, [low, high]
    blob = evaluator.snapshot()                  # with results, outbox and position in ONE transaction
    evaluator = RunEvaluator.restore(plan, blob)
    if evaluator.stale:                          # a late sample, phase or hold: rebuild those criteria from stored frames
        fresh = rebuild(plan, lifecycle_records, stored_frames)
        transitions = fresh.differences(evaluator)
    result = evaluator.result()                  # after RunEnded: final states and digest

Nothing here reads a clock, a database or Kafka. Frames are identified by (stream, boot, seq); the first in log order stays in force.
"""
