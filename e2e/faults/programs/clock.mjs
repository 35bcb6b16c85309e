// Loaded into the engine with `node --import`: its wall clock is off by what the file in AGENTOS_TEST_CLOCK says, in
// milliseconds, read anew at SIGUSR2. The monotonic clock and timers are not touched, as when an operator sets the time.
import { readFileSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'

const file = process.env.AGENTOS_TEST_CLOCK
if (file !== undefined) {
  const now = Date.now
  let offset = 0
  const read = () => {
    offset = Number(readFileSync(file, 'utf8'))
  }
  Date.now = () => now() + offset
  globalThis.Date = new Proxy(Date, {
    construct: (target, args, self) => Reflect.construct(target, args.length === 0 ? [now() + offset] : args, self),
  })
  // Threads are not signalled: they read the file now and then.
  if (isMainThread) process.on('SIGUSR2', read)
  else setInterval(read, 50).unref()
  read()
}
