/** Questions on a terminal: missing arguments, secrets without echo, whether something shall really be destroyed. */
import type { ArgumentDescription } from '../server-core/admin/control-protocol.ts'
import type { Search } from './suggestions.ts'
import type { OutputStream } from './terminal.ts'

/** The person pressed Ctrl-C or ended the input. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
}

export interface Prompts {
  /** `search` finds what is known of its kind. */
  argument(argument: ArgumentDescription, search: Search | undefined): Promise<string>
  secret(argument: ArgumentDescription): Promise<string>
  confirm(question: string): Promise<boolean>
}

/** Questions go to standard error: standard output is the result's. */
export async function openPrompts(input: NodeJS.ReadStream, output: OutputStream): Promise<Prompts> {
  const { createPromptModule } = await import('inquirer')
  const ask = createPromptModule({ input, output: output as NodeJS.WriteStream })
  const answer = async <T>(question: Record<string, unknown>): Promise<T> => {
    try {
      const answers = (await ask([{ ...question, name: 'answer' }] as unknown as Parameters<
        typeof ask
      >[0])) as {
        answer: T
      }
      return answers.answer
    } catch (error) {
      if (error instanceof Error && error.name === 'ExitPromptError') throw new Interrupted()
      throw error
    }
  }
  const hidden = (message: string) =>
    answer<string>({ type: 'password', message, mask: false, toggleMask: false })
  const label = ({ name, doc }: ArgumentDescription) => (doc === '' ? `${name}:` : `${name} (${doc}):`)
  return {
    async argument(argument, search) {
      const known = argument.choices ?? (await search?.('')) ?? []
      if (argument.choices || (argument.names !== 'user' && known.length > 1 && known.length <= 20)) {
        const named = known.map((value) => ({ value, name: value === '' ? '(empty)' : value }))
        return answer({ type: 'select', message: label(argument), choices: named })
      }
      if (search && known.length > 1) {
        // What was typed is the last choice: somebody may be meant who is not known.
        const source = async (typed = '') => {
          const found = await search(typed)
          return typed === '' || found.includes(typed) ? found : [...found, typed]
        }
        return answer({ type: 'search', message: label(argument), source })
      }
      const [only] = known
      return answer({
        type: 'input',
        message: label(argument),
        ...(only === undefined ? {} : { default: only }),
        validate: (text: string) =>
          argument.type !== 'integer' || /^[+-]?\d+$/.test(text) || 'It must be an integer.',
      })
    },
    async secret({ name, isNew }) {
      for (;;) {
        const first = await hidden(`${name}:`)
        if (isNew !== true || first === (await hidden(`${name} again:`))) return first
        output.write('They differ; once more.\n')
      }
    },
    confirm: (question) => answer<boolean>({ type: 'confirm', message: question, default: false }),
  }
}
