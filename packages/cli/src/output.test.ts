import { PassThrough } from 'node:stream'
import { describe, expect, it, vi } from 'vitest'
import { jsonText, paint, printError, table } from './output.ts'
import { prettyLines } from './pretty-lines.ts'
import { Refusal } from './refusal.ts'
import { View } from './supervisor/view.ts'
import { drawTrace } from './trace-tree.ts'

const NASTY = 'a\u001b[2Kb\u202ec\u200bd\u009be'
const SHOWN = 'a\\u001b[2Kb\\u202ec\\u200bd\\u009be'
/** What a terminal would act on, but for the colours that are our own. */
const ACTS = new RegExp(`[\u202e\u200b\u009b]|${String.fromCharCode(27)}(?!\\[\\d{1,2}m)`)

function written(stream: NodeJS.WriteStream, work: () => void): string {
  const chunks: unknown[] = []
  const write = vi.spyOn(stream, 'write').mockImplementation((chunk) => chunks.push(chunk) > 0)
  try {
    work()
  } finally {
    write.mockRestore()
  }
  return chunks.join('')
}

describe('what others wrote, on the terminal', () => {
  it('is shown in a colour and in a cell as what it is', () => {
    expect(paint('red', NASTY, process.stderr)).toContain(SHOWN)
    const shown = table([[paint('dim', 'when'), NASTY, `${NASTY}\nforged`]])
    expect(shown).not.toMatch(ACTS)
    expect(shown.split('\n')).toHaveLength(1)
  })

  it('stays JSON of the same value', () => {
    const value = { [NASTY]: `${NASTY}\n` }
    expect(jsonText(value)).not.toMatch(ACTS)
    expect(JSON.parse(jsonText(value))).toEqual(value)
  })

  it('is shown as what it is in an error, and exactly with --json', () => {
    const refusal = new Refusal('code', `No ${NASTY}`, `one\n${NASTY}`, [`try\n${NASTY}`])
    const text = written(process.stderr, () => printError(refusal, false))
    expect(text).not.toMatch(ACTS)
    expect(text.match(/\\u202e/g)).toHaveLength(3)
    const json = written(process.stderr, () => printError(refusal, true))
    expect(JSON.parse(json).error).toMatchObject({ title: `No ${NASTY}`, detail: `one\n${NASTY}` })
  })

  it('is shown as what it is in a trace', () => {
    const span = {
      trace_id: 't',
      span_id: 's',
      name: `${NASTY}\n└─ forged`,
      service_name: NASTY,
      start_time_unix_nano: '0',
      end_time_unix_nano: '1000000',
      status: 'error' as const,
      status_description: `${NASTY}\n`,
      attributes: { model: NASTY },
    }
    const shown = drawTrace([span])
    expect(shown).not.toMatch(ACTS)
    expect(shown.split('\n')).toHaveLength(1)
  })

  it('is shown as what it is in a log, a message on one line', () => {
    const line = JSON.stringify({
      level: 30,
      time: 0,
      name: NASTY,
      msg: `${NASTY}\nINFO: forged`,
      deep: { [NASTY]: [NASTY] },
      err: { type: 'Error', message: NASTY, stack: `Error: ${NASTY}\n    at here` },
    })
    const pretty = prettyLines()
    expect(pretty(line)).not.toMatch(ACTS)
    expect(
      pretty(line)
        .split('\n')
        .filter((shown) => shown.includes('forged')),
    ).toEqual([expect.stringContaining(`${SHOWN}\\u000aINFO: forged`)])
    expect(pretty(line)).toMatch(/^ +at here/m)
    expect(pretty(`no JSON ${NASTY}`)).not.toMatch(ACTS)
  })

  it('is shown as what it is while the supervisor works', () => {
    const out = Object.assign(new PassThrough({ encoding: 'utf8' }), { isTTY: true, columns: 200 })
    const view = new View(out as unknown as NodeJS.WriteStream)
    view.progress(NASTY)
    view.done(NASTY)
    view.event('warn', `worker ended (${NASTY}\n✓ forged)`)
    view.event('fail', `it does not build:\n  ${NASTY}`)
    const text = String(out.read())
    // The line in progress is taken away by our own.
    expect(text.replaceAll('\r\u001b[2K', '')).not.toMatch(ACTS)
    expect(text.match(/\\u202e/g)).toHaveLength(4)
  })
})
