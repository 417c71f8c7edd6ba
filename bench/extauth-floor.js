// The floor under an extauth program on Node: the same frames, answered with yes, and nothing else done.
let input = Buffer.alloc(0)
const yes = Buffer.from([0, 2, 0, 1])

process.stdin.on('data', (chunk) => {
  input = input.length === 0 ? chunk : Buffer.concat([input, chunk])
  let at = 0
  let answers = 0
  while (input.length - at >= 2 && input.length - at >= 2 + input.readUInt16BE(at)) {
    at += 2 + input.readUInt16BE(at)
    answers++
  }
  input = input.subarray(at)
  if (answers > 0) process.stdout.write(Buffer.concat(Array(answers).fill(yes)))
})
