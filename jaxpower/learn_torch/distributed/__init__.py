"""Distributed PyTorch training: one process a device, one of them in command.

The process that runs the trial (`jaxpower.workers.worker`) is the coordinator,
rank 0; it spawns a worker for every other device. Commands and replies go
through two pipes for each worker, tensors through PyTorch's process group
(NCCL on GPUs, gloo on CPUs):

  coordinator, rank 0                   worker, rank 1, 2, ...
  -------------------                   ----------------------
  make a FileStore, in a private folder
  spawn, with two pipes        ----->   ask the kernel to die with the parent
                               <-----   import PyTorch; ready
  path of the FileStore        ----->
  init_process_group           <====>   init_process_group

  PlaceData(trial, spec)       ----->   load the data set, place it
  Compile(spec)                ----->   build and compile the network
  Wrap(spec)                   ----->
  DistributedDataParallel      =====>   DistributedDataParallel
  ReceiveState(spec)           ----->   (only if the state is not the one that
  broadcast weights, moments   =====>   all ranks have just trained)
  TrainSegment(segment)        ----->
  its share of each batch               its share of each batch
  all-reduce of gradients      <====>   all-reduce of gradients, each update
  all-reduce of the loss       <====>   all-reduce of the loss

  after every command:                  synchronize the device; reply None,
  wait for all replies         <-----   or the line of an error
  (this is the barrier)

  at the end: SIGKILL, wait, leave the process group

  ----->  pipe                 =====>  process group

Nothing waits for ever:

  a worker dies          its pipes close: the coordinator kills the others and
                         raises DistributedError with the signal or exit code
  a worker fails         it replies with the error and exits; then as above
  a worker hangs         no reply within the timeout; then as above
  the coordinator dies   the kernel kills the workers (on Linux; elsewhere they
                         exit when they next look at their closed pipes)
  PyTorch hangs          longer than its own timeout: a watchdog dumps
                         tracebacks and exits that process; then as above

Workers live from trial to trial, as compiled programs do: else each trial
would pay for starting PyTorch and NCCL and for compiling.
"""
