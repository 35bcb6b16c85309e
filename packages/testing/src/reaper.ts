import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket } from 'node:net'

/**
 * Reads "add <pid>" and "del <pid>" until its input ends, which it does however the test process ends, kill -9
 * included; then it kills what is still on the list.
 */
const SCRIPT = `
pids=" "
while read -r verb pid; do
  case "$verb" in
    add) pids="$pids$pid " ;;
    del) case "$pids" in *" $pid "*) pids="\${pids%% $pid *} \${pids#* $pid }" ;; esac ;;
  esac
done
for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
`

let reaper: ChildProcess | undefined

function tell(line: string): void {
  if (!reaper) {
    // A group of its own: a Ctrl-C that ends the tests must not end it before its work is done.
    reaper = spawn('/bin/sh', ['-c', SCRIPT], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
    reaper.unref()
    ;(reaper.stdin as Socket).unref()
  }
  reaper.stdin?.write(`${line}\n`)
}

/** Makes sure that this process does not outlive ours. */
export function reap(child: ChildProcess): void {
  const { pid } = child
  if (pid === undefined) return
  tell(`add ${pid}`)
  child.once('exit', () => tell(`del ${pid}`))
}
