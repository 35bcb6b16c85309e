import type { ComponentChildren } from 'preact'
import type { Field } from './schema-form.ts'

type Write = (name: string, value: string | boolean) => void

interface FieldInputProps {
  field: Field
  value: string | boolean | undefined
  problem: string | undefined
  onWrite: Write
}

export function FieldInput({ field, value, problem, onWrite }: FieldInputProps) {
  const { name, required, hint, fallback } = field
  const text = String(value ?? '')
  const common = {
    id: `field-${name}`,
    name,
    value: text,
    placeholder: fallback,
    'aria-invalid': problem !== undefined,
    'aria-describedby': `about-${name}`,
    onInput: (event: { currentTarget: { value: string } }) => onWrite(name, event.currentTarget.value),
  }
  if (field.kind === 'flag') {
    return (
      <div class="field">
        <label class="check">
          <input
            type="checkbox"
            id={common.id}
            checked={value === undefined ? fallback === 'true' : value === true}
            onChange={(event) => onWrite(name, event.currentTarget.checked)}
          />
          {name}
        </label>
        <About name={name} hint={hint} problem={problem} />
      </div>
    )
  }
  return (
    <Labelled name={name} required={required} kind={kindOf(field)} hint={hint} problem={problem}>
      {field.kind === 'text' && !field.long && <input type="text" autocomplete="off" {...common} />}
      {field.kind === 'text' && field.long && <textarea rows={3} {...common} />}
      {field.kind === 'number' && <input type="text" inputMode="decimal" autocomplete="off" {...common} />}
      {field.kind === 'choice' && (
        <select {...common}>
          <option value="">{fallback || '–'}</option>
          {field.options.map((option) => (
            <option key={option.value} value={option.value}>
              {option.label}
            </option>
          ))}
        </select>
      )}
      {field.kind === 'lines' && <textarea rows={3} {...common} />}
      {field.kind === 'json' && <textarea rows={4} class="code" spellcheck={false} {...common} />}
    </Labelled>
  )
}

interface JsonInputProps {
  name: string
  label: string
  value: string
  placeholder: string
  problem: string | undefined
  onWrite: Write
}

/** The whole input as JSON, for a function that says nothing of its shape. */
export function JsonInput({ name, label, value, placeholder, problem, onWrite }: JsonInputProps) {
  return (
    <Labelled name={name} label={label} required={false} kind="" hint="" problem={problem}>
      <textarea
        id={`field-${name}`}
        rows={6}
        class="code"
        spellcheck={false}
        value={value}
        placeholder={placeholder}
        aria-invalid={problem !== undefined}
        aria-describedby={`about-${name}`}
        onInput={(event) => onWrite(name, event.currentTarget.value)}
      />
    </Labelled>
  )
}

interface LabelledProps {
  name: string
  label?: string
  required: boolean
  kind: string
  hint: string
  problem: string | undefined
  children: ComponentChildren
}

function Labelled({ name, label = name, required, kind, hint, problem, children }: LabelledProps) {
  return (
    <div class="field">
      <label for={`field-${name}`}>
        {label}
        {required && <span class="required"> required</span>} <span class="dim">{kind}</span>
      </label>
      {children}
      <About name={name} hint={hint} problem={problem} />
    </div>
  )
}

function About({ name, hint, problem }: { name: string; hint: string; problem: string | undefined }) {
  return (
    <div id={`about-${name}`}>
      {problem && <p class="field-problem">{problem}</p>}
      {hint && <p class="dim">{hint}</p>}
    </div>
  )
}

function kindOf(field: Field): string {
  if (field.kind === 'number') return field.integer ? 'whole number' : 'number'
  if (field.kind === 'lines') return 'one a line'
  if (field.kind === 'json') return field.shape === 'any' ? 'JSON' : `JSON ${field.shape}`
  return ''
}
