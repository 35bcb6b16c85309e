// Loaded into the engine with `node --expose-gc --import`: SIGUSR2 collects its garbage, so that what is left can be compared.
import { isMainThread } from 'node:worker_threads'

if (isMainThread) process.on('SIGUSR2', () => globalThis.gc())
