import { createServer } from 'node:net'
import { addressOf, type Listener, type Settings } from '../config.ts'
import { Refusal } from '../refusal.ts'
import { holderOf } from './process-table.ts'

/** Refuses where a port of ours is taken, and says by whom. */
export async function assertPortsFree(settings: Settings): Promise<void> {
  const wanted: [string, Listener, string][] = [
    ['The page with the HTTP API', settings.http, 'iii-http'],
    ['The workers', settings.manager, 'iii-worker-manager'],
  ]
  for (const [what, listener, entry] of wanted) {
    if (await isFree(listener)) continue
    const holder = holderOf(listener.port)
    throw new Refusal(
      'port_taken',
      `Port ${listener.port} is taken`,
      `${what} need${what === 'The workers' ? '' : 's'} ${addressOf(listener)}, but ${
        holder ? `process ${holder.pid} listens there: ${shorten(holder.command)}` : 'another process listens there'
      }.`,
      [
        holder ? `Stop that process (kill ${holder.pid}), or` : 'Stop that process, or',
        `give ${entry} another port in config.yaml.`,
      ],
    )
  }
}

/** Whether one could listen there now. Also tries the other loopback, because the engine listens on both. */
async function isFree(listener: Listener): Promise<boolean> {
  if (listener.port === 0) return true
  const loopback = ['127.0.0.1', 'localhost', '::1', ''].includes(listener.host)
  const hosts = loopback ? ['127.0.0.1', '::1'] : [listener.host]
  for (const host of hosts) if ((await tryListen(host, listener.port)) === 'EADDRINUSE') return false
  return true
}

function tryListen(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)))
  })
}

const shorten = (command: string): string => (command.length > 100 ? `${command.slice(0, 99)}…` : command)
