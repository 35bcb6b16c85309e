/**
 * Starts a built program under a Node that can run it. Every file in dist/ that is started by hand begins here, so
 * this must stay readable for Node 18.
 */
import { existsSync } from 'node:fs'
import module from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { broughtNode, isRecent } from '../setup/node-choice.mjs'
import { ON_BEHALF, takeOver } from '../setup/run.mjs'

const dist = dirname(fileURLToPath(import.meta.url))

/**
 * Imports the bundle, given as a path inside dist/. Under a Node that is too old it runs the same program again
 * under the Node that set-up brought, and resolves with `undefined` once that has ended. A `service` runs until it is
 * told to stop; the other kind may talk with the terminal.
 */
export async function launch(program, bundle, service) {
  if (isRecent(process.versions.node)) {
    endWithStarter()
    module.enableCompileCache?.(join(dist, '.cache', 'code'))
    const loaded = await import(new URL(bundle, import.meta.url).href)
    // Late enough to hold what the start needed; a process that is killed would otherwise never write it.
    setTimeout(() => module.flushCompileCache?.(), 1500).unref()
    return loaded
  }
  const node = broughtNode(dirname(dist))
  if (!node || !existsSync(node)) {
    console.error(
      `This Node is ${process.versions.node}; AgentOS needs 24 or later.\n` +
        'Run `npm start` once, which brings a Node of its own, or install Node 26, then try again.',
    )
    process.exit(1)
  }
  const args = [...process.execArgv, fileURLToPath(program), ...process.argv.slice(2)]
  process.exitCode = await takeOver(node, args, { service })
  return undefined
}

/** A program that runs on behalf of another process ends with it, even when that was killed. */
function endWithStarter() {
  if (!process.env[ON_BEHALF]) return
  delete process.env[ON_BEHALF]
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))
  process.channel?.unref()
}
