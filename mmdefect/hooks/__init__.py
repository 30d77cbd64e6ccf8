"""What watches the quota, changes it and resumes it while a model trains."""
