# bash completion for lunserve, made from its grammar by lunserve completion bash.

# _lunserve_images completes files that are likely to be images, block devices
# and folders; where there is none of the first two, any file.
_lunserve_images()
{
	local word found='' likely=()
	_filedir
	for word in "${COMPREPLY[@]}"; do
		if [[ ${word,,} == *.@(img|raw|zst|simg|iso) || -b $word ]]; then
			likely+=("$word") found=1
		elif [[ -d $word ]]; then
			likely+=("$word")
		fi
	done
	[[ ! $found ]] || COMPREPLY=("${likely[@]}")
}

# _lunserve_words adds those of the words in $1 that fit.
_lunserve_words()
{
	local fit
	mapfile -t fit < <(compgen -W "$1" -- "$cur")
	COMPREPLY+=("${fit[@]}")
}

_lunserve()
{
	local cur prev words cword split
	_init_completion -s || return

	local command=serve first=1
	if ((cword > 1)); then
		case ${words[1]} in
		serve | pack | unpack | info | commit | list | stats | resize | detach | doctor | completion) command=${words[1]} first=2 ;;
		esac
	fi

	# The command's flags, those among them that take a word, and whether
	# a command line may follow --.
	local flags takers runs=''
	case $command in
	serve)
		flags='-h --help --version -r --read-only --size --removable --sector-size -s --snapshot --overlay --discard --detect-zeroes --format --cache-size --zstd-window --tmpdir --loopback --iscsi --vhost --iqn --portal --chap-file --allow --open --run --fork --pid-file --exit-with-parent -q --quiet --json --stats-interval --trace'
		takers=' --size --sector-size --overlay --discard --detect-zeroes --format --cache-size --zstd-window --tmpdir --iqn --portal --chap-file --allow --run --pid-file --stats-interval '
		runs=1
		;;
	pack)
		flags='-h --help --version -f --force --frame-size --level --format --cache-size --zstd-window --tmpdir'
		takers=' --frame-size --level --format --cache-size --zstd-window --tmpdir '
		;;
	unpack)
		flags='-h --help --version -f --force --format --cache-size --zstd-window --tmpdir'
		takers=' --format --cache-size --zstd-window --tmpdir '
		;;
	info)
		flags='-h --help --version --json --format --cache-size --zstd-window --tmpdir'
		takers=' --format --cache-size --zstd-window --tmpdir '
		;;
	commit)
		flags='-h --help --version -o --output -f --force --base --format --cache-size --zstd-window --tmpdir'
		takers=' -o --output --base --format --cache-size --zstd-window --tmpdir '
		;;
	list)
		flags='-h --help --version --json --names'
		takers='  '
		;;
	stats)
		flags='-h --help --version -i --interval --json'
		takers=' -i --interval '
		;;
	resize)
		flags='-h --help --version'
		takers='  '
		;;
	detach)
		flags='-h --help --version -f --force'
		takers='  '
		;;
	doctor)
		flags='-h --help --version -r --read-only --json --format --cache-size --zstd-window --tmpdir'
		takers=' --format --cache-size --zstd-window --tmpdir '
		;;
	completion)
		flags='-h --help --version'
		takers='  '
		;;
	esac

	# n is the number of arguments before the word.
	local i n=0 dashes=''
	for ((i = first; i < cword; i++)); do
		if [[ $dashes || ${words[i]} != -?* ]]; then
			((n += 1))
		elif [[ ${words[i]} == -- && $runs ]]; then
			_command_offset $((i + 1))
			return
		elif [[ ${words[i]} == -- ]]; then
			dashes=1
		elif [[ $takers == *" ${words[i]} "* ]]; then
			((i += 1))
		fi
	done

	# The word of a flag: of the one before, or of itself after a =.
	if ((i > cword)) || [[ $split == true ]]; then
		case $command$prev in
		serve--overlay | serve--chap-file | serve--pid-file | serve--trace | commit-o | commit--output) _filedir ;;
		serve--tmpdir | pack--tmpdir | unpack--tmpdir | info--tmpdir | commit--tmpdir | doctor--tmpdir) _filedir -d ;;
		commit--base) _lunserve_images ;;
		serve--sector-size) _lunserve_words '512 4096' ;;
		serve--format | pack--format | unpack--format | info--format | commit--format | doctor--format) _lunserve_words 'auto raw sparse zstd simg' ;;
		serve--detect-zeroes) _lunserve_words 'off on unmap' ;;
		serve--discard) _lunserve_words 'unmap ignore' ;;
		esac
		return
	fi
	if [[ ! $dashes && $cur == -* ]]; then
		_lunserve_words "$flags"
		return
	fi
	case $command$n in
	pack1 | unpack1 | commit0) _filedir ;;
	serve* | pack0 | unpack0 | info* | doctor*) _lunserve_images ;;
	stats* | resize0 | detach*) _lunserve_words "$("$1" list --names 2>/dev/null)" ;;
	completion0) _lunserve_words 'bash zsh fish' ;;
	esac
	if ((cword == 1)); then
		_lunserve_words 'serve pack unpack info commit list stats resize detach doctor completion'
	fi
} && complete -F _lunserve lunserve
