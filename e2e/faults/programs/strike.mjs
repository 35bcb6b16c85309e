// Loaded into the engine with `node --import`: what the instruments of harness/kill-points.ts call. The file in
// AGENTOS_TEST_STRIKE names a step, a point of it and a process, which is killed when the engine comes to that point, once.
import { readFileSync, unlinkSync } from 'node:fs'

const file = process.env.AGENTOS_TEST_STRIKE
if (file !== undefined) {
  globalThis.agentosStrike = (point, step) => {
    let aim
    try {
      aim = JSON.parse(readFileSync(file, 'utf8'))
    } catch {
      return
    }
    if (aim.point !== point || aim.step !== step) return
    unlinkSync(file)
    process.kill(aim.pid, 'SIGKILL')
  }
}
