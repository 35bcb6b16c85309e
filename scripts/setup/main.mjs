import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { commandLineStamp, isBuilt, ONLY_WORKERS_FAILED } from './built.mjs'
import { broughtNode, chooseNode, pinnedNode } from './node-choice.mjs'
import { installPackages, needsInstall } from './packages.mjs'
import { explain, SetupProblem } from './problems.mjs'
import { Progress } from './progress.mjs'
import { capture, takeOver } from './run.mjs'
import { servedBy } from './served.mjs'
import { assertRoomToWork, bringNode, bringPnpm, nodeIsHere } from './tools.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/**
 * What each command needs (packages for running, or all of them), what is built first, and the program that it
 * becomes. Arguments that follow the command are passed on. `changed` is all of it, and a worker that does not build is
 * a failure; with `startable` the others start without it. `command-line` is built only where nothing runs that is built
 * here, for it would be replaced under its processes. `nothing` leaves what is built alone.
 */
const COMMANDS = {
  start: { packages: 'prod', build: 'startable', run: ['dist/agentos.mjs', 'up'], service: true },
  dev: { packages: 'all', build: 'startable', run: ['dist/agentos.mjs', 'up', '--dev'], service: true },
  cli: { packages: 'prod', build: 'command-line', run: ['dist/agentos.mjs'] },
  node: { packages: 'prod', build: 'nothing', run: [] },
  build: { packages: 'prod', build: 'always' },
  test: { packages: 'all', build: 'changed', run: ['node_modules/vitest/vitest.mjs', 'run'] },
  'test:e2e': { packages: 'all', build: 'changed', run: ['node_modules/vitest/vitest.mjs', 'run', '--project', 'e2e'] },
  check: { packages: 'all', build: 'changed', run: ['scripts/check.ts'] },
  'foreign-clients': { packages: 'all', build: 'changed', run: ['e2e/foreign/main.ts'] },
  faults: { packages: 'all', build: 'changed', run: ['e2e/faults/main.ts'] },
  bench: { packages: 'all', build: 'changed', run: ['bench/src/main.ts'] },
  'bench:unplug': { packages: 'all', build: 'changed', run: ['bench/unplug/src/main.ts'] },
}

export async function main([name = 'start', ...rest]) {
  // The one command of the command line that starts workers.
  const command =
    name === 'cli' && rest.find((word) => !word.startsWith('-')) === 'up'
      ? { ...COMMANDS.cli, build: 'startable' }
      : COMMANDS[name]
  if (!command) {
    console.error(`There is no command "${name}". There are: ${Object.keys(COMMANDS).join(', ')}.`)
    process.exitCode = 1
    return
  }
  // A line about what is installed would stand in the way of a command's own output, which may be read by a program.
  const quiet = name === 'cli' || name === 'node'
  const progress = new Progress(quiet ? process.stderr : process.stdout)
  try {
    const node = await prepare(command, name === 'build' ? rest : [], progress)
    if (command.run) {
      const args = [...command.run, ...rest]
      process.exitCode = await takeOver(node, args, {
        cwd: quiet ? process.cwd() : root,
        root,
        service: command.service,
      })
    }
  } catch (error) {
    progress.clear()
    const problem = error instanceof SetupProblem ? error : explain(error, root)
    console.error(`\n${problem.message}\n`)
    process.exitCode = 1
  }
}

/** Brings what is missing and nothing else; resolves with the path of the Node to run under. */
async function prepare({ packages, build }, only, progress) {
  const choice = chooseNode(process.versions.node, pinnedNode(root))
  if (choice === 'none-for-platform') {
    throw new SetupProblem(
      `This Node is ${process.versions.node}, AgentOS runs on 24 or later, and for ${process.platform} on ${process.arch} there is none to bring.\n` +
        'Install Node 26 yourself, then run the command again.',
    )
  }
  if (build === 'command-line') {
    const pid = servedBy(root)
    if (pid !== undefined) {
      if (!isBuilt(root)) {
        progress.note(
          `The sources have changed since the system was started (process ${pid}), which runs on as it was built. ` +
            'npm run agentos -- stop, then npm start takes them.',
        )
      }
      return choice === 'brought' ? broughtNode(root) : process.execPath
    }
  }
  const wanted = needsInstall(root, packages)
  const nodeMissing = choice === 'brought' && !nodeIsHere(root)
  if (wanted || nodeMissing) assertRoomToWork(root)
  if (wanted) {
    const doing = nodeMissing ? 'bringing Node 26 and installing packages' : 'installing packages'
    await progress.step('packages are installed', doing, async () => {
      const [pnpm] = await together([bringPnpm(root), nodeMissing && bringNode(root)])
      await installPackages(root, wanted, pnpm)
    })
  } else if (nodeMissing) {
    await progress.step('Node 26 is here', 'bringing Node 26', () => bringNode(root))
  }
  const node = choice === 'brought' ? broughtNode(root) : process.execPath
  if (build === 'command-line') await buildCommandLine(node, progress)
  else if (build === 'always' || (build !== 'nothing' && !isBuilt(root))) {
    await progress.step('built', 'building', () =>
      runBuild(node, only).catch((error) => {
        if (build !== 'startable' || error.code !== ONLY_WORKERS_FAILED) throw error
        progress.note(
          `${error.message}\n\nThe others start; of these what was built before runs, where there is something.`,
        )
      }),
    )
  }
  return node
}

/** What a build says is about the sources, so it is shown as it is. */
function runBuild(node, args) {
  return capture(node, [join(root, 'scripts/build.ts'), ...args], { cwd: root }).catch((error) => {
    throw Object.assign(new SetupProblem(error.output || error.message), { code: error.code })
  })
}

/** The command line depends on no worker. Where it does not build itself, the one before it still works. */
async function buildCommandLine(node, progress) {
  if (isBuilt(root, commandLineStamp)) return
  const before = existsSync(join(root, 'dist/agentos.mjs'))
  await progress.step('the command line is built', 'building the command line', () =>
    runBuild(node, ['--command-line']).catch((error) => {
      if (!before) throw error
      progress.note(`${error.message}\n\nThe command line that was built before is used.`)
    }),
  )
}

/** Waits for all, so that nothing goes on behind an error message; then fails with the first failure. */
async function together(work) {
  const results = await Promise.allSettled(work)
  const failed = results.find(({ status }) => status === 'rejected')
  if (failed) throw failed.reason
  return results.map(({ value }) => value)
}
