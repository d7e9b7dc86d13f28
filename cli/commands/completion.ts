/** `longformer completion`: what a shell needs to complete commands, flags and the values that some flags choose from. */
import { Command } from 'commander';

const shells = ['bash', 'zsh', 'fish'] as const;

/** program: asked when the command runs, when all others have been added. */
export function completionCommand(program: () => Command): Command {
  return new Command('completion')
    .description('Print a completion script for a shell.')
    .addHelpText(
      'after',
      `
Examples:
  source <(longformer completion bash)
  source <(longformer completion zsh)
  longformer completion fish | source`,
    )
    .argument('<shell>', 'bash, zsh or fish')
    .action((shell: string, _flags: unknown, self: Command) => {
      const script = { bash, zsh, fish }[shell];
      if (!script) self.error(`error: no completion for "${shell}"; there is bash, zsh and fish`);
      process.stdout.write(script(program().commands.map(describe)));
    });
}

interface Described {
  readonly name: string;
  readonly description: string;
  /** Commands of its own, or names it takes. */
  readonly words: readonly string[];
  readonly flags: readonly Flag[];
}

interface Flag {
  readonly long: string;
  readonly description: string;
  readonly takesValue: boolean;
  /** What the value is chosen from, where that is known. */
  readonly values: readonly string[];
}

function describe(command: Command): Described {
  const name = command.name();
  const inner = command.commands;
  const options = [...command.options, ...inner.flatMap(({ options }) => options)];
  const flags = options.map(({ long, description, required, argChoices = [] }) => ({
    ...{ long: long!, description, takesValue: required, values: argChoices },
  }));
  const distinct = [...new Map(flags.map(flag => [flag.long, flag])).values()];
  return {
    name,
    description: command.description().split('\n')[0]!,
    words: name === 'completion' ? shells : inner.map(each => each.name()),
    flags: [...distinct, { long: '--help', description: 'display help for command', takesValue: false, values: [] }],
  };
}

const bash = (commands: readonly Described[]): string => {
  const valued = commands.flatMap(({ name, flags }) =>
    flags.filter(({ values }) => values.length > 0).map(({ long, values }) => ({ of: `${name} ${long}`, values })),
  );
  const all = ({ words, flags }: Described): string => [...words, ...flags.map(({ long }) => long)].join(' ');
  return `_longformer() {
  local word=\${COMP_WORDS[COMP_CWORD]}
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${commands.map(({ name }) => name).join(' ')}" -- "$word"))
    return
  fi
  local words=
  case "\${COMP_WORDS[1]} \${COMP_WORDS[COMP_CWORD-1]}" in
${valued.map(({ of, values }) => `    "${of}") COMPREPLY=($(compgen -W "${values.join(' ')}" -- "$word")); return ;;`).join('\n')}
  esac
  case \${COMP_WORDS[1]} in
${commands.map(command => `    ${command.name}) words="${all(command)}" ;;`).join('\n')}
  esac
  case $word in
    -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
    *) COMPREPLY=($(compgen -f -W "$words" -- "$word")) ;;
  esac
}
complete -o filenames -F _longformer longformer
`;
};

/** zsh runs the functions of bash. Both of its systems may not have been started yet. */
const zsh = (commands: readonly Described[]): string =>
  `(( $+functions[compdef] )) || { autoload -U compinit && compinit; }
autoload -U +X bashcompinit && bashcompinit
${bash(commands)}`;

const fish = (commands: readonly Described[]): string => {
  const quote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const flagLine = (name: string, { long, description, takesValue, values }: Flag): string => {
    const chosen = values.length > 0 ? ` -x -a ${quote(values.join(' '))}` : takesValue ? ' -r' : '';
    return `complete -c longformer -n '__fish_seen_subcommand_from ${name}' -l ${long.slice(2)}${chosen} -d ${quote(description)}`;
  };
  return commands
    .flatMap(({ name, description, words, flags }) => [
      `complete -c longformer -n __fish_use_subcommand -a ${name} -d ${quote(description)}`,
      ...words.map(word => `complete -c longformer -f -n '__fish_seen_subcommand_from ${name}' -a ${word}`),
      ...flags.map(flag => flagLine(name, flag)),
    ])
    .join('\n')
    .concat('\n');
};
