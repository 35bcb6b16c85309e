import { spawn } from 'node:child_process'
import { delimiter, dirname } from 'node:path'

/** What a program said when it failed; `explain` turns it into a sentence. */
export class CommandFailed extends Error {
  constructor(command, code, output) {
    super(`${command} ended with ${code}`)
    this.name = 'CommandFailed'
    this.code = code
    this.output = output
  }
}

/** Set where a program was started on behalf of another process, which passes signals on and waits for it. */
export const ON_BEHALF = 'AGENTOS_ON_BEHALF'

/** Runs a program to its end without showing what it says, unless it fails. */
export function capture(command, args, { cwd }) {
  const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  const keep = (chunk) => {
    output = (output + chunk).slice(-20_000)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) =>
      code === 0 ? resolve(output) : reject(new CommandFailed(command, code, output.trim())),
    )
  })
}

/**
 * Becomes another program as far as a process can: its input and output are ours, signals reach it, and its exit code
 * is the result. A `service` gets a process group of its own, because a Ctrl-C arrives up to twice (from the terminal,
 * and from npm, which passes on what it got) and a service takes the second as an order to stop at once.
 */
export function takeOver(node, args, { cwd, service = false } = {}) {
  const child = spawn(node, args, {
    cwd,
    detached: service,
    // The channel says nothing; its end tells the service that we are gone.
    stdio: ['inherit', 'inherit', 'inherit', ...(service ? ['ipc'] : [])],
    // Scripts that ask for `node` find the one that runs us.
    env: {
      ...process.env,
      PATH: [dirname(node), process.env.PATH].join(delimiter),
      ...(service ? { [ON_BEHALF]: '1' } : {}),
    },
  })
  passSignalsOn(child, service)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) => resolve(code ?? (signal ? 1 : 0)))
  })
}

/** One press of Ctrl-C is one signal, however many copies of it arrive together. */
const TOGETHER_MS = 250

function passSignalsOn(child, service) {
  const last = new Map()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // The terminal has told a program in our own group already.
      if (!service && signal === 'SIGINT' && process.stdin.isTTY) return
      const now = performance.now()
      if (now - (last.get(signal) ?? -TOGETHER_MS) < TOGETHER_MS) return
      last.set(signal, now)
      child.kill(signal)
    })
  }
}
