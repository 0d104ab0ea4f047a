# xai bench: the table and the report, methods with parameters, inputs in a batch, bad arguments.
. "${0%/*}/common.inc"

expect 0 bench "$model" --rounds 2 -m gradient -m smoothgrad,samples=2
count out 1 '^input +image \[1,1,28,28\] \(drawn\)$'
count out 1 '^load +[0-9.]+ ms$'
count out 1 '^first result +[0-9.]+ ms$'
count out 1 '^peak memory +[0-9.]+ [KMG]iB$'
count out 1 '^call +median ms +fastest ms +x forward +memory$'
count out 1 '^forward +[0-9.]+ +[0-9.]+ +1\.00 '
count out 1 '^smoothgrad,samples=2 +[0-9.]+ +[0-9.]+ +[0-9.]+ '

expect 0 bench "$model" --rounds 2 -m epsilon-plus --layers 3
count out 1 '^fastest ms  % of call  layer of forward$'
count out 6 '^ +[0-9.]+ +[0-9.]+  (forward|reverse) [A-Za-z]+ '
count out 1 'layer of epsilon-plus$'

expect 0 bench "$model" --rounds 1 --layers 2 --json
json out
count out 3 '"layers": \[\{"layer": ".*\}, \{"layer": '

expect 0 bench "$model" "$boot" "$pullover" --rounds 1 --json
json out
holds out '"shape": [2, 1, 28, 28]'
holds out '"rounds": 1'
holds out '"call": "forward"'
holds out '"call": "gradient"'

refuse 2 "which MODEL" bench
refuse 2 "unknown method 'gradeint', did you mean 'gradient'" bench "$model" -m gradeint
refuse 2 "has no parameter 'foo'" bench "$model" -m gradient,foo=1 --rounds 1
refuse 2 "--rounds takes a whole number" bench "$model" --rounds x
refuse 3 "none.onnx" bench none.onnx
refuse 4 "none.png" bench "$model" none.png

finish
