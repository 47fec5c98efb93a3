# fish completion for lunserve, made from its grammar by lunserve completion fish.

# Files that are likely to be images and block devices, then folders, then
# other files.
function __lunserve_images
	set -l files (complete -C "lunserve_no_command "(commandline -ct)) # as for any command
	string match -r -i -- '^[^\t]*\.(?:img|raw|zst|simg|iso)(?:\t.*)?$' $files
	for file in $files
		set -l path (string split -f 1 \t -- $file)
		test -b $path; and echo $file
	end
	string match -r -- '^[^\t]*/(?:\t.*)?$' $files
	printf '%s\n' $files
end

function __lunserve_exports
	set -l words (commandline -opc)
	$words[1] list --names 2>/dev/null
end

# What follows -- is a command line of its own.
function __lunserve_rest
	set -l words (commandline -opc)
	set -l dashes (contains -i -- -- $words)
	set -e words[1..$dashes]
	complete -C (string join -- ' ' (string escape -- $words) (commandline -ct))
end

function __lunserve_first
	test (count (commandline -opc)) = 1
end

# __lunserve_at COMMAND: the line is one of COMMAND, and may have a flag here.
# __lunserve_at COMMAND N: and N arguments come before, counted from 0.
# __lunserve_at COMMAND --: and -- does.
function __lunserve_at -a command where
	set -l words (commandline -opc)
	set -e words[1]
	set -l name serve
	if contains -- "$words[1]" serve pack unpack info commit list stats resize detach doctor completion
		set name $words[1]
		set -e words[1]
	end
	test $name = $command; or return
	set -l takers
	set -l runs no
	switch $name
		case serve
			set takers --size --sector-size --overlay --discard --detect-zeroes --format --cache-size --zstd-window --tmpdir --iqn --portal --chap-file --allow --run --pid-file --stats-interval
			set runs yes
		case pack
			set takers --frame-size --level --format --cache-size --zstd-window --tmpdir
		case unpack
			set takers --format --cache-size --zstd-window --tmpdir
		case info
			set takers --format --cache-size --zstd-window --tmpdir
		case commit
			set takers -o --output --base --format --cache-size --zstd-window --tmpdir
		case list
			set takers 
		case stats
			set takers -i --interval
		case resize
			set takers 
		case detach
			set takers 
		case doctor
			set takers --format --cache-size --zstd-window --tmpdir
		case completion
			set takers 
	end
	set -l n 0
	set -l dashes no
	while set -q words[1]
		if test $dashes = yes; or not string match -q -- '-?*' $words[1]
			set n (math $n + 1)
		else if test $words[1] = --
			set dashes yes
			test $runs = yes; and break
		else if contains -- $words[1] $takers
			set -e words[1]
		end
		set -e words[1]
	end
	switch "$where"
		case --
			test $dashes = yes
		case ''
			test $dashes = no
		case '*'
			test $dashes = no -o $runs = no; or return
			string match -q -- $where $n
	end
end

complete -c lunserve -f

complete -c lunserve -n __lunserve_first -a serve -d 'Serve disk images as SCSI disks until interrupted'
complete -c lunserve -n '__lunserve_at serve --' -k -a '(__lunserve_rest)'
complete -c lunserve -n '__lunserve_at serve "*"' -f -k -a '(__lunserve_images)'
complete -c lunserve -n '__lunserve_at serve' -s h -l help -d 'Print help and exit'
complete -c lunserve -n '__lunserve_at serve' -l version -d 'Print the version and exit'
complete -c lunserve -n '__lunserve_at serve' -s r -l read-only -d 'Refuse writes, and share the image with other readers'
complete -c lunserve -n '__lunserve_at serve' -l size -r -f -d 'Create the image with this size if it does not exist'
complete -c lunserve -n '__lunserve_at serve' -l removable -d 'Present a removable disk'
complete -c lunserve -n '__lunserve_at serve' -l sector-size -r -f -k -a '512 4096' -d 'Logical block size in bytes'
complete -c lunserve -n '__lunserve_at serve' -s s -l snapshot -d 'Write to a temporary file and drop it at exit'
complete -c lunserve -n '__lunserve_at serve' -l overlay -r -F -d 'Keep writes in FILE, a qcow2 overlay, for the next run'
complete -c lunserve -n '__lunserve_at serve' -l discard -r -f -k -a 'unmap ignore' -d 'Support UNMAP and free the space in the image (unmap), or present a fully provisioned disk (ignore)'
complete -c lunserve -n '__lunserve_at serve' -l detect-zeroes -r -f -k -a 'off on unmap' -d 'Detect blocks of zeros in writes, and store them as allocated zeros (on) or holes (unmap)'
complete -c lunserve -n '__lunserve_at serve' -l format -r -f -k -a 'auto raw sparse zstd simg' -d 'Image format'
complete -c lunserve -n '__lunserve_at serve' -l cache-size -r -f -d 'Memory for decompressed data'
complete -c lunserve -n '__lunserve_at serve' -l zstd-window -r -f -d 'Largest window to accept in a zstd file without random access'
complete -c lunserve -n '__lunserve_at serve' -l tmpdir -r -f -a '(__fish_complete_directories)' -d 'Directory for temporary files, which may grow as large as the image'
complete -c lunserve -n '__lunserve_at serve' -l loopback -d 'Make local disks, and print their paths'
complete -c lunserve -n '__lunserve_at serve' -l iscsi -d 'Make an iSCSI target, and print a URL for each image'
complete -c lunserve -n '__lunserve_at serve' -l vhost -d 'Make a vhost-scsi target for VMs, and print its WWPN'
complete -c lunserve -n '__lunserve_at serve' -l iqn -r -f -d 'Target name'
complete -c lunserve -n '__lunserve_at serve' -l portal -r -f -d 'Address to listen on'
complete -c lunserve -n '__lunserve_at serve' -l chap-file -r -F -d 'Require CHAP'
complete -c lunserve -n '__lunserve_at serve' -l allow -r -f -d 'Allow only the initiator with this name to log in'
complete -c lunserve -n '__lunserve_at serve' -l open -d 'Allow anyone to log in at an address that other machines can reach'
complete -c lunserve -n '__lunserve_at serve' -l run -r -f -d 'Serve while a shell command runs, and exit with its status'
complete -c lunserve -n '__lunserve_at serve' -l fork -d 'Serve in the background'
complete -c lunserve -n '__lunserve_at serve' -l pid-file -r -F -d 'Write the process ID to FILE when the disks are ready'
complete -c lunserve -n '__lunserve_at serve' -l exit-with-parent -d 'Exit when the parent process exits'
complete -c lunserve -n '__lunserve_at serve' -s q -l quiet -d 'Print only warnings and errors on standard error'
complete -c lunserve -n '__lunserve_at serve' -l json -d 'Print events on standard output, one JSON object per line'
complete -c lunserve -n '__lunserve_at serve' -l stats-interval -r -f -d 'With --json, print a stats event at this interval, such as 10s'
complete -c lunserve -n '__lunserve_at serve' -l trace -F -d 'Print each SCSI command on standard error'

complete -c lunserve -n __lunserve_first -a pack -d 'Compress an image to zstd for random access'
complete -c lunserve -n '__lunserve_at pack 0' -f -k -a '(__lunserve_images)'
complete -c lunserve -n '__lunserve_at pack 1' -F
complete -c lunserve -n '__lunserve_at pack' -s h -l help -d 'Print help and exit'
complete -c lunserve -n '__lunserve_at pack' -l version -d 'Print the version and exit'
complete -c lunserve -n '__lunserve_at pack' -s f -l force -d 'Replace the file if it exists'
complete -c lunserve -n '__lunserve_at pack' -l frame-size -r -f -d 'Uncompressed size of a frame, the unit of decompression'
complete -c lunserve -n '__lunserve_at pack' -l level -r -f -d 'Compression level, 1 to 19 as for zstd'
complete -c lunserve -n '__lunserve_at pack' -l format -r -f -k -a 'auto raw sparse zstd simg' -d 'Image format'
complete -c lunserve -n '__lunserve_at pack' -l cache-size -r -f -d 'Memory for decompressed data'
complete -c lunserve -n '__lunserve_at pack' -l zstd-window -r -f -d 'Largest window to accept in a zstd file without random access'
complete -c lunserve -n '__lunserve_at pack' -l tmpdir -r -f -a '(__fish_complete_directories)' -d 'Directory for temporary files, which may grow as large as the image'

complete -c lunserve -n __lunserve_first -a unpack -d 'Convert an image of any format to a raw image'
complete -c lunserve -n '__lunserve_at unpack 0' -f -k -a '(__lunserve_images)'
complete -c lunserve -n '__lunserve_at unpack 1' -F
complete -c lunserve -n '__lunserve_at unpack' -s h -l help -d 'Print help and exit'
complete -c lunserve -n '__lunserve_at unpack' -l version -d 'Print the version and exit'
complete -c lunserve -n '__lunserve_at unpack' -s f -l force -d 'Replace the file if it exists'
complete -c lunserve -n '__lunserve_at unpack' -l format -r -f -k -a 'auto raw sparse zstd simg' -d 'Image format'
complete -c lunserve -n '__lunserve_at unpack' -l cache-size -r -f -d 'Memory for decompressed data'
complete -c lunserve -n '__lunserve_at unpack' -l zstd-window -r -f -d 'Largest window to accept in a zstd file without random access'
complete -c lunserve -n '__lunserve_at unpack' -l tmpdir -r -f -a '(__fish_complete_directories)' -d 'Directory for temporary files, which may grow as large as the image'

complete -c lunserve -n __lunserve_first -a info -d 'Show the format and contents of images'
complete -c lunserve -n '__lunserve_at info "*"' -f -k -a '(__lunserve_images)'
complete -c lunserve -n '__lunserve_at info' -s h -l help -d 'Print help and exit'
complete -c lunserve -n '__lunserve_at info' -l version -d 'Print the version and exit'
complete -c lunserve -n '__lunserve_at info' -l json -d 'Print a JSON array with an object for each image'
complete -c lunserve -n '__lunserve_at info' -l format -r -f -k -a 'auto raw sparse zstd simg' -d 'Image format'
complete -c lunserve -n '__lunserve_at info' -l cache-size -r -f -d 'Memory for decompressed data'
complete -c lunserve -n '__lunserve_at info' -l zstd-window -r -f -d 'Largest window to accept in a zstd file without random access'
complete -c lunserve -n '__lunserve_at info' -l tmpdir -r -f -a '(__fish_complete_directories)' -d 'Directory for temporary files, which may grow as large as the image'

complete -c lunserve -n __lunserve_first -a commit -d 'Merge an overlay into its base, or both into a new image'
complete -c lunserve -n '__lunserve_at commit 0' -F
complete -c lunserve -n '__lunserve_at commit' -s h -l help -d 'Print help and exit'
complete -c lunserve -n '__lunserve_at commit' -l version -d 'Print the version and exit'
complete -c lunserve -n '__lunserve_at commit' -s o -l output -r -F -d 'Write base and overlay together to the raw image OUT, and change neither'
complete -c lunserve -n '__lunserve_at commit' -s f -l force -d 'Replace OUT if it exists'
complete -c lunserve -n '__lunserve_at commit' -l base -r -f -k -a '(__lunserve_images)' -d 'Path of the base, if it was moved since the overlay was made'
complete -c lunserve -n '__lunserve_at commit' -l format -r -f -k -a 'auto raw sparse zstd simg' -d 'Image format'
complete -c lunserve -n '__lunserve_at commit' -l cache-size -r -f -d 'Memory for decompressed data'
complete -c lunserve -n '__lunserve_at commit' -l zstd-window -r -f -d 'Largest window to accept in a zstd file without random access'
complete -c lunserve -n '__lunserve_at commit' -l tmpdir -r -f -a '(__fish_complete_directories)' -d 'Directory for temporary files, which may grow as large as the image'

complete -c lunserve -n __lunserve_first -a list -d 'List served disks'
complete -c lunserve -n '__lunserve_at list' -s h -l help -d 'Print help and exit'
complete -c lunserve -n '__lunserve_at list' -l version -d 'Print the version and exit'
complete -c lunserve -n '__lunserve_at list' -l json -d 'Print a JSON object for each disk, one per line'
complete -c lunserve -n '__lunserve_at list' -l names -d 'Print only the names'

complete -c lunserve -n __lunserve_first -a stats -d 'Show rates and latencies of served disks'
complete -c lunserve -n '__lunserve_at stats "*"' -f -a '(__lunserve_exports)'
complete -c lunserve -n '__lunserve_at stats' -s h -l help -d 'Print help and exit'
complete -c lunserve -n '__lunserve_at stats' -l version -d 'Print the version and exit'
complete -c lunserve -n '__lunserve_at stats' -s i -l interval -r -f -d 'Print a table at this interval, such as 5s, until ^C'
complete -c lunserve -n '__lunserve_at stats' -l json -d 'Print a JSON object for each disk, one per line'

complete -c lunserve -n __lunserve_first -a resize -d 'Resize a served disk'
complete -c lunserve -n '__lunserve_at resize 0' -f -a '(__lunserve_exports)'
complete -c lunserve -n '__lunserve_at resize 1' -f
complete -c lunserve -n '__lunserve_at resize' -s h -l help -d 'Print help and exit'
complete -c lunserve -n '__lunserve_at resize' -l version -d 'Print the version and exit'

complete -c lunserve -n __lunserve_first -a detach -d 'Remove served disks'
complete -c lunserve -n '__lunserve_at detach "*"' -f -a '(__lunserve_exports)'
complete -c lunserve -n '__lunserve_at detach' -s h -l help -d 'Print help and exit'
complete -c lunserve -n '__lunserve_at detach' -l version -d 'Print the version and exit'
complete -c lunserve -n '__lunserve_at detach' -s f -l force -d 'Remove disks even if they are in use'

complete -c lunserve -n __lunserve_first -a doctor -d 'Check whether this machine can serve images, and name what is missing'
complete -c lunserve -n '__lunserve_at doctor "*"' -f -k -a '(__lunserve_images)'
complete -c lunserve -n '__lunserve_at doctor' -s h -l help -d 'Print help and exit'
complete -c lunserve -n '__lunserve_at doctor' -l version -d 'Print the version and exit'
complete -c lunserve -n '__lunserve_at doctor' -s r -l read-only -d 'Check for serving read-only'
complete -c lunserve -n '__lunserve_at doctor' -l json -d 'Print a JSON array with an object for each check'
complete -c lunserve -n '__lunserve_at doctor' -l format -r -f -k -a 'auto raw sparse zstd simg' -d 'Image format'
complete -c lunserve -n '__lunserve_at doctor' -l cache-size -r -f -d 'Memory for decompressed data'
complete -c lunserve -n '__lunserve_at doctor' -l zstd-window -r -f -d 'Largest window to accept in a zstd file without random access'
complete -c lunserve -n '__lunserve_at doctor' -l tmpdir -r -f -a '(__fish_complete_directories)' -d 'Directory for temporary files, which may grow as large as the image'

complete -c lunserve -n __lunserve_first -a completion -d 'Print a completion script for a shell'
complete -c lunserve -n '__lunserve_at completion 0' -f -k -a 'bash zsh fish'
complete -c lunserve -n '__lunserve_at completion' -s h -l help -d 'Print help and exit'
complete -c lunserve -n '__lunserve_at completion' -l version -d 'Print the version and exit'
