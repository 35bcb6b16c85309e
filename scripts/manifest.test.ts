import { describe, expect, it } from 'vitest'
import { parseManifest } from './manifest.ts'

const small = 'name: weather\nversion: 0.1.0\ndescription: Says how the weather is\nruntime: { kind: typescript }\n'
const read = (more: string) => parseManifest(small + more, 'iii.worker.yaml')

describe('a manifest', () => {
  it('needs four keys and fills in the rest', () => {
    expect(read('')).toMatchObject({
      start: 'always',
      instances: 1,
      resources: { memory: 256 },
      runtime: { entry: 'src/worker.ts' },
      owns: { scopes: [], streams: [], topics: [] },
      functions: [],
    })
  })

  it('reads numbers under env as the text that the process will see', () => {
    expect(read('env: { DAYS: 30 }').env).toEqual({ DAYS: '30' })
  })

  it.each([
    ['a key that is not specified', 'memoryMb: 4', 'memoryMb'],
    ['an id that belongs to the engine', 'functions: [engine::stop]', 'functions.0'],
    ['an id in the sandbox namespace', 'functions: [sandbox::run]', 'functions.0'],
    ['a function that stands there twice', 'functions: [a::b, a::b]', 'functions: an entry stands here twice'],
    ['a trigger to a function of somebody else', 'triggers: [{ type: cron, function: a::b, config: {} }]', 'a::b'],
    ['a system scope that it does not own', 'system_scopes: [audit]', 'owns.scopes'],
    ['a star in the middle of a name', 'owns: { scopes: ["a*b"] }', 'owns.scopes.0'],
    ['a gate that is none of its functions', 'gate: a::b', 'gate: a::b is not among'],
    [
      'a condition of its own that it does not have',
      'functions: [a::b]\ntriggers: [{ type: cron, function: a::b, config: { condition_function_id: a::c } }]',
      'iii.worker.yaml:6:52: triggers.0.config.condition_function_id: a::c',
    ],
    ['a worker that depends on itself', 'dependencies: [weather]', 'itself'],
  ])('refuses %s and says where', (_, more, where) => {
    expect(() => read(more)).toThrow(where)
  })

  it('is not that of the engine, in whose name the gate is asked', () => {
    expect(() => parseManifest(small.replace('weather', 'engine'), 'iii.worker.yaml')).toThrow(
      'name: is the name of the',
    )
  })

  it('names every mistake at once, with the file', () => {
    expect(() => read('start: sometimes\ninstances: 0')).toThrow(/iii\.worker\.yaml[\s\S]*start[\s\S]*instances/)
  })

  it.each([
    ['a value', 'start: sometimes', '5:1: start: '],
    ['a key that there is not', 'resources:\n  memori: 4', '6:3: resources.memori: there is no such key'],
    ['an entry of a list', 'functions:\n  - a::b\n  - c', '7:5: functions.1: '],
    [
      'what is missing, where it would stand',
      'triggers:\n  - { type: cron, config: {} }',
      '6:5: triggers.0.function: ',
    ],
  ])('names line and column of %s', (_, more, said) => {
    expect(() => read(more)).toThrow(`iii.worker.yaml:${said}`)
  })

  it('says that the text is not YAML', () => {
    expect(() => parseManifest('name: [', 'x.yaml')).toThrow(/^x\.yaml:1:8: it is not valid YAML: /)
  })
})
