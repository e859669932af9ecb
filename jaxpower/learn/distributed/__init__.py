"""A JAX trial over several processes, one device each, one of them in command.

One process for several GPUs is where NCCL is known to hang, so on GPUs a trial
over N devices is N processes. The one that runs the trial is the coordinator,
rank 0. JAX wants every process to run the same programs in the same order, and
what a trial calls of its wing is just that: so each call is sent to the
workers before the coordinator makes it (`wing`). What a call returns, a state
or programs, stays in each process; the coordinator names it by the number of
the call that made it.

  coordinator, rank 0                   worker, rank 1, 2, ...
  -------------------                   ----------------------
  spawn, with two pipes        ----->   ask the kernel to die with the parent
  Join(address)                ----->
  jax.distributed.initialize   <====>   jax.distributed.initialize
                               <-----   Done(0)
  Call(1, "place", trial)      ----->   load the data set, place it
  Call(2, "compile_programs")  ----->
  Call(7, "train", programs of 2, state of 3, placed of 1, segment)
  its devices' work            <====>   its devices' work
  wait for its own arrays               wait for its own arrays
  wait for all replies         <-----   Done(7), or Failed(line)
  (this is the barrier)
                               <-----   Alive, every few seconds, from a thread
  at the end: SIGKILL, wait

  ----->  pipe                 =====>  JAX's coordination service; gloo, NCCL

Nothing waits for ever:

  a worker dies, fails   the coordinator's call fails of it, or is given up
                         after GRACE_SECONDS: a failed record, a new process
  a worker is silent     for SILENT_SECONDS; then as above
  one rank is late       TIMEOUT_SECONDS, and ten times the call, after another
                         is done with it; then as above
  all wait in NCCL       the sweep's limit on a phase (`workers.patience`)
  the coordinator dies   the kernel kills the workers

What a process was in cannot be left: JAX joins a group once. So whatever fails
ends the coordinator's process too, after its failed record.
"""
