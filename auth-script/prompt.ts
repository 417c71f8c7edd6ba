/** Questions to whoever is there: a person at a terminal, or a script that wrote its answer to standard input. */
import type { Readable, Writable } from 'node:stream'

export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stderr: Writable & { readonly isTTY?: boolean }
}

const maxLine = 8192
/** How often two that are not the same may be typed. */
const maxTries = 3

/** A terminal is asked, twice for a new one; else it is the first line of standard input. Undefined when nobody gave one. */
export async function askPassword(
  terminal: Terminal,
  question: string,
  { twice }: { readonly twice: boolean } = { twice: true },
): Promise<Buffer | undefined> {
  if (!isPerson(terminal)) return firstLine(terminal.stdin)
  const ask = (message: string): Promise<string | undefined> =>
    answered(terminal, (prompt) =>
      prompt<{ answer: string }>([
        { type: 'password', name: 'answer', message, mask: '*', toggleMask: false } as const,
      ]),
    )
  for (let tries = 0; tries < maxTries; tries++) {
    const password = await ask(question)
    if (password === undefined || password === '') return undefined
    const again = twice ? await ask('once more') : password
    if (again === undefined) return undefined
    if (again === password) return Buffer.from(password)
    terminal.stderr.write('These are not the same.\n')
  }
  return undefined
}

/** Whether somebody at a terminal says yes; a script that asks for something means it. */
export async function confirm(terminal: Terminal, question: string): Promise<boolean> {
  if (!isPerson(terminal)) return true
  const isSure = await answered(terminal, (prompt) =>
    prompt<{ answer: boolean }>([{ type: 'confirm', name: 'answer', message: question, default: false }]),
  )
  return isSure ?? false
}

function isPerson({ stdin, stderr }: Terminal): boolean {
  return stdin.isTTY === true && stderr.isTTY === true
}

type Prompt = Awaited<ReturnType<typeof openPrompt>>

async function openPrompt({ stdin, stderr }: Terminal) {
  const { createPromptModule } = (await import('inquirer')).default
  return createPromptModule({ input: stdin as NodeJS.ReadStream, output: stderr as NodeJS.WriteStream })
}

/** Undefined at the end of the input, and at Ctrl-C. */
async function answered<T>(
  terminal: Terminal,
  ask: (prompt: Prompt) => Promise<{ readonly answer: T }>,
): Promise<T | undefined> {
  const prompt = await openPrompt(terminal)
  try {
    return (await ask(prompt)).answer
  } catch (error) {
    if (error instanceof Error && error.name === 'ExitPromptError') return undefined
    throw error
  }
}

async function firstLine(stdin: Readable): Promise<Buffer | undefined> {
  let bytes = Buffer.alloc(0)
  for await (const chunk of stdin as AsyncIterable<Buffer>) {
    bytes = Buffer.concat([bytes, chunk])
    if (bytes.includes(0x0a) || bytes.length > maxLine) break
  }
  const end = bytes.indexOf(0x0a)
  const line = end === -1 ? bytes : bytes.subarray(0, end)
  const text = line.at(-1) === 0x0d ? line.subarray(0, -1) : line
  return text.length === 0 ? undefined : text
}
