#!/bin/sh
# A shell script that trains with awk and prints accuracies; nothing attached.
#
#   python scripts/run.py --config=examples/sweep.py:name=shell
#
# Said (`,quick`, two busy cores, joules estimated):
# batch 16 reached 92.2 % for 2.72 J, batch 64 93.0 % for 2.95 J.
#
# A perceptron learns which of two random numbers is larger than the other.
awk -v batch="$1" -v seed="$2" 'BEGIN {
  srand(seed + 1)
  for (epoch = 1; epoch <= 40; epoch++) {
    for (n = 0; n < 500; n++) {
      x = rand(); y = rand(); truth = x > y ? 1 : -1
      slip = truth * (a * x + b * y + c) <= 0.05
      if (slip) { da += truth * x; db += truth * y; dc += truth }
      if (++seen % batch == 0) {
        a += da / batch; b += db / batch; c += dc / batch; da = db = dc = 0
      }
    }
    right = 0
    for (n = 0; n < 500; n++) {
      x = rand(); y = rand()
      right += (a * x + b * y + c > 0) == (x > y)
    }
    printf "accuracy=%.3f examples=%d\n", right / 500, seen
    fflush()
  }
}'
