import { mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { LineSplitter, LogFile, toCutLine, toLogLine } from './log-file.ts'

const folder = () => mkdtempSync(join(tmpdir(), 'agentos-log-'))

describe('log file', () => {
  it('keeps five files of the size limit, the newest line in the first', () => {
    const dir = folder()
    const log = new LogFile(join(dir, 'w.jsonl'), { maxBytes: 20 })
    for (let n = 0; n < 30; n += 1) log.write(`line ${String(n).padStart(2, '0')}!\n`)
    log.close()
    expect(readdirSync(dir).sort()).toEqual(['w.jsonl', 'w.jsonl.1', 'w.jsonl.2', 'w.jsonl.3', 'w.jsonl.4'])
    expect(readFileSync(join(dir, 'w.jsonl'), 'utf8')).toBe('line 28!\nline 29!\n')
    expect(readFileSync(join(dir, 'w.jsonl.4'), 'utf8')).toBe('line 20!\nline 21!\n')
  })

  it('goes on in the file of the last start', () => {
    const path = join(folder(), 'w.jsonl')
    for (const line of ['one\n', 'two\n']) {
      const log = new LogFile(path)
      log.write(line)
      log.close()
    }
    expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n')
  })

  it('wraps what is not JSON, so that every line of the file is', () => {
    expect(toLogLine('w', 'stdout', '{"msg":"x"}', 1)).toBe('{"msg":"x"}\n')
    expect(JSON.parse(toLogLine('w', 'stderr', 'Error: x', 1))).toEqual({
      level: 50,
      time: 1,
      name: 'w',
      stream: 'stderr',
      msg: 'Error: x',
    })
  })
})

describe('lines', () => {
  it('are whole however the bytes arrive, and the last one needs no line feed', () => {
    const lines: string[] = []
    const splitter = new LineSplitter((line) => lines.push(line))
    for (const part of ['a', 'b\nc', 'd\n\ne']) splitter.push(part)
    splitter.end()
    expect(lines).toEqual(['ab', 'cd', 'e'])
  })

  it('that are too long are there once, with their start, however they arrive', () => {
    const lines: [string, boolean][] = []
    const splitter = new LineSplitter((line, isCut) => lines.push([line, isCut]), 4)
    for (const part of ['abcd', 'efgh', 'ijkl{"level":50}', '\nok\nlonger\nok', '\n']) splitter.push(part)
    const expected = [
      ['abcd', true],
      ['ok', false],
      ['long', true],
      ['ok', false],
    ]
    expect(lines).toEqual(expected)
  })

  it('that are too long are records marked as cut, in no words of the process', () => {
    const record = JSON.parse(toCutLine('engine', 'stderr', '{"level":30,"msg":"'.padEnd(300_000, 'x'), 1))
    expect(record).toMatchObject({ level: 40, name: 'engine', cut: true, msg: expect.stringContaining('too long') })
    expect(record.start).toHaveLength(1_000)
  })
})
