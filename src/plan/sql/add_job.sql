-- Makes a job as it was elsewhere. What it is added with decides only its kind; a time zone sets the next start anew, so
-- that has to be said beside it.
select {alter_job}(
    {add},
    schedule_interval => {schedule_interval}, max_runtime => {max_runtime}, max_retries => {max_retries},
    retry_period => {retry_period}, scheduled => {scheduled}, fixed_schedule => {fixed_schedule},
    initial_start => {initial_start}, timezone => {timezone}, next_start => {next_start},
    config => {config})
