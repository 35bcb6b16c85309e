import type { HttpQuestion } from './http-caller.ts'
import type { Measured } from './load.ts'
import { Peer } from './peer.ts'
import { inTurn, type Plan } from './plan.ts'
import { paired, type Row } from './table.ts'

const SLICE_MS = 700

/** HTTP → engine → worker → answer, against a plain handler that does the same work in its own process. */
export async function measureHttp(engine: { url: string; token: string }, plan: Plan): Promise<Row[]> {
  const { peer: plain, said: plainUrl } = await Peer.start<string>('plain-http.ts')
  const { peer: caller } = await Peer.start('http-caller.ts')
  try {
    const { token } = engine
    const targets = {
      contract: { origin: engine.url, path: '/bench/contract', token },
      trigger: { origin: engine.url, path: '/bench/trigger', token },
      plain: { origin: plainUrl, path: '/' },
    }
    type Target = keyof typeof targets
    const names = Object.keys(targets) as Target[]
    const ask = (name: Target, inFlight: number) => {
      const question: HttpQuestion = { ...targets[name], inFlight, ms: SLICE_MS * plan.scale }
      return caller.ask<Measured>(question)
    }
    const crowd: Record<Target, number[]> = { contract: [], trigger: [], plain: [] }
    const one: number[] = []
    const eight: number[] = []
    for (const name of names) await ask(name, 64)
    await inTurn(
      plan.rounds,
      names.map((name) => async () => void crowd[name].push((await ask(name, 64)).perSecond)),
    )
    await inTurn(plan.rounds, [
      async () => void one.push((await ask('contract', 1)).p50),
      async () => void eight.push((await ask('contract', 8)).p50),
    ])
    const text = { unit: 'requests/s', other: 'plain `node:http`', goal: '≥ 0.25 ×' }
    return [
      paired('HTTP contract route → worker → answer, 64 connections', crowd.contract, crowd.plain, text),
      paired('HTTP trigger → worker → answer, 64 connections', crowd.trigger, crowd.plain, text),
      paired('HTTP contract route, 8 at once: p50', eight, one, { unit: 'ms', other: 'one at a time', goal: '≤ 3 ×' }),
    ]
  } finally {
    await Promise.all([plain.stop(), caller.stop()])
  }
}
